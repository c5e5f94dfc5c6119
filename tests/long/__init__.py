"""What takes long, with stacks of its own: `make test-long`."""
