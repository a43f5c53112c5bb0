"""The contract both machines share: words, specs, bytes, files and the link."""
