"""The same numbers with less work: what a moved item cannot change is not computed again."""
