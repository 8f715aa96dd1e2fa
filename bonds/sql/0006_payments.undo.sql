DROP TRIGGER risk_period_ends_once ON bonds_series;
DROP TRIGGER events_of_the_risk_period_only ON bonds_sliceact;
DROP TRIGGER payment_is_fixed ON bonds_couponrun;
DROP TRIGGER payment_is_fixed ON bonds_redemption;
DROP FUNCTION risk_period_ends_once();
DROP FUNCTION events_of_the_risk_period_only();
DROP FUNCTION payment_is_fixed();
ALTER TABLE bonds_redemption DROP CONSTRAINT redemption_part_same_slice;
ALTER TABLE bonds_slicepart DROP CONSTRAINT part_in_slice;
DELETE FROM intermediary_transition WHERE entity IN ('couponrun', 'redemption', 'rollforward')
    OR (entity, before, after) IN (('series', 'ON_RISK', 'EXTENDED'), ('series', 'EVENT_OPEN', 'MATURED'),
        ('sliceact', 'NOTICED', 'LAPSED'), ('sliceact', 'CHALLENGE', 'LAPSED'));
