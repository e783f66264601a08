"""What is on a web page: HTML and its vocabularies, and nothing of jobs."""
