"""Storage: where the files of jobs are kept, a local folder or an S3 bucket."""
