"""Git LFS: fetches the large files whose pointers a commit holds, from the server that has them."""
