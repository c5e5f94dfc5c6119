"""The services: who does what the policy decides."""
