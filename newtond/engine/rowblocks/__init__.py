"""Where the rows live, and how a matrix is cut into blocks of them."""
