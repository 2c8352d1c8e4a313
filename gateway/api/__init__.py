"""HTTP: thin blueprints, the hooks before them and the errors after them."""
