DROP VIEW public_relationship;
DROP TRIGGER append_only_truncate ON intermediary_marginpoint;
DROP TRIGGER append_only ON intermediary_marginpoint;
