"""`threshold demo`: one day of a community, told by what its receivers got and what the services answered."""
