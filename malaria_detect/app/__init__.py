"""What people and programs see: the page, the server, result tables and reports."""
