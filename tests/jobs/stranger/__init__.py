"""An app that only some workers have installed, with kinds that the others do not know."""
