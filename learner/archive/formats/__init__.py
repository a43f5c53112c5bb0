"""Other people's formats, one file or two for each; their packages are those of the extra `archive`."""
