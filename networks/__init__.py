"""What both machines must compute alike: pure functions over plain pytrees of JAX arrays."""
