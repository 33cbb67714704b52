"""Networks of other published systems, and their comparison on the same patients."""
