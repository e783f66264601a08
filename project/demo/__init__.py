"""What `manage.py demo` shows: one download and jobs of every priority, through the public API and nothing else."""
