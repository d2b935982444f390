"""How it iterates: a method is a generator of steps that continues from a ``State`` alone."""
