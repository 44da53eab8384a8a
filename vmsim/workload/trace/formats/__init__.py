"""One file for each trace format; all files in this folder are found and registered by themselves."""
