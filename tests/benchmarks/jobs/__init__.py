"""Job systems compared on one machine: the same servers, the same slots, the same empty job."""
