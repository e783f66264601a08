"""One file per kind of job; a file dropped in here is found by itself."""
