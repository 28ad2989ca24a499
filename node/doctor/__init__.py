"""What a volunteer may have wrong, one area a file: probes that look, judgements that say."""
