DROP TRIGGER append_only_truncate ON config_alarm;
DROP TRIGGER alarm_is_kept ON config_alarm;
DROP FUNCTION alarm_is_kept();
DROP TRIGGER append_only_truncate ON config_alarmacknowledgement;
DROP TRIGGER append_only ON config_alarmacknowledgement;
