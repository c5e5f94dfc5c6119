"""The policy: cases as tables, mutations, properties, and the golden log."""
