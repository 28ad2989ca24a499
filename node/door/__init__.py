"""A private node's gateway under a public https name, through another node's door."""
