"""Where big values are kept: in files, or in a store that speaks S3."""
