DROP VIEW public_recovery;
