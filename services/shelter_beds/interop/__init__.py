"""What is public of units, in the forms that other systems read: HSDS, FHIR, CSV. Nothing can be written here."""
