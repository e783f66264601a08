"""Load upon a Haulway somewhere, put there and measured through its public API alone."""
