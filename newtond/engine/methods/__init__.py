"""How it iterates: one file a method; a method is a generator of steps that continues from a ``State`` alone."""
