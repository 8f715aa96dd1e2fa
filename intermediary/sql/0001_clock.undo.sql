DROP FUNCTION platform_clock_start_replay(timestamptz);
DROP FUNCTION platform_clock_set(timestamptz, numeric, timestamptz);
DROP FUNCTION platform_now();
DROP TABLE platform_clock;
