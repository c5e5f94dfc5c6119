"""Organizations, credentials and the data-sharing agreement: who there is, and what they have agreed to share."""
