"""What extraction costs: pages a second into the archive, against other ways to fetch them."""
