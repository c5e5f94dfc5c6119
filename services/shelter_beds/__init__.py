"""shelter_beds: units, their beds, holds, the live feed and the board."""
