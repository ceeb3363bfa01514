"""Files and folders on the disk, for an event loop that must not wait for one."""
