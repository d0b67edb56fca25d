"""The scenarios, group by group."""
