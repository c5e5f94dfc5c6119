"""The boundary: the only writer of `disclosures`, and the one door through which an event crosses."""
