"""One module for each revision, named as the revision is. Once released, none of them changes."""
