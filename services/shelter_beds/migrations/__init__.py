"""The shelter_beds service's tables, as they came to be."""
