"""What a node does when it is called: the only room that drives plugins."""
