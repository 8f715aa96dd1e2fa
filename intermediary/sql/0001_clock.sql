-- Platform time. One row, one function. Live worlds run at the wall clock's rate, refused otherwise by CHECK.
CREATE TABLE platform_clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    mode text NOT NULL CHECK (mode IN ('live', 'replay')),
    anchor timestamptz NOT NULL,
    anchor_real timestamptz NOT NULL,
    rate numeric NOT NULL CHECK (rate >= 0),
    ceiling timestamptz CHECK (ceiling >= anchor),
    CHECK (mode = 'replay' OR (rate = 1 AND anchor = anchor_real AND ceiling IS NULL))
);
INSERT INTO platform_clock (mode, anchor, anchor_real, rate)
SELECT 'live', moment, moment, 1 FROM (SELECT clock_timestamp() AS moment) AS start;

CREATE FUNCTION platform_now() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
    SELECT least(anchor + (clock_timestamp() - anchor_real) * rate::double precision, ceiling) FROM public.platform_clock
$$;

CREATE FUNCTION platform_clock_set(moment timestamptz, new_rate numeric, new_ceiling timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM 1 FROM platform_clock FOR UPDATE;
    IF (SELECT mode FROM platform_clock) <> 'replay' THEN
        RAISE EXCEPTION 'platform_clock_live: only a replay sets the clock';
    END IF;
    IF moment < platform_now() THEN
        RAISE EXCEPTION 'platform_clock_backwards: % is before %', moment, platform_now();
    END IF;
    UPDATE platform_clock SET anchor = moment, anchor_real = clock_timestamp(), rate = new_rate, ceiling = new_ceiling;
END $$;

-- Owner only: turns a world without history into a replay, standing still.
CREATE FUNCTION platform_clock_start_replay(moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    IF EXISTS (SELECT FROM intermediary_journalentry) THEN
        RAISE EXCEPTION 'platform_clock_has_history: a world with journal entries keeps its clock';
    END IF;
    UPDATE platform_clock SET mode = 'replay', anchor = moment, anchor_real = clock_timestamp(), rate = 0, ceiling = moment;
END $$;
REVOKE ALL ON FUNCTION platform_clock_set(timestamptz, numeric, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION platform_clock_start_replay(timestamptz) FROM PUBLIC;
