"""One module a resource: its fields' names, titles and kinds are upstream 3.0's."""
