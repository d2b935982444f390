"""``newtonctl``: a newtond server from the shell."""
