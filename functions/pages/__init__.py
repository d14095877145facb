"""What people look at: pages served by functions of their own, without scripts and without anybody else's server."""
