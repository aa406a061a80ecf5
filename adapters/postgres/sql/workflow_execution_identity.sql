-- Deterministic ids in SQL, part of workflow_execution_views.sql: the same fact has the same id,
-- whether a worker writes it (definitions/identity.py) or one of the functions here.

-- UUIDv5 (RFC 9562). Core Postgres has no SHA-1, so it is written out. Bitwise operators all bind
-- alike, hence the parentheses.
CREATE FUNCTION execution_uuid5(p_namespace uuid, p_name text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    mask CONSTANT bigint := 4294967295;
    message bytea := uuid_send(p_namespace) || convert_to(p_name, 'UTF8');
    bits bigint := octet_length(message) * 8;
    h bigint[] := ARRAY[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    w bigint[];
    a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; t bigint;
    digest bytea := '';
BEGIN
    message := message || '\x80'::bytea;
    message := message
        || decode(repeat('00', (120 - octet_length(message) % 64) % 64), 'hex') || int8send(bits);
    FOR block IN 0..octet_length(message) / 64 - 1 LOOP
        FOR i IN 0..15 LOOP
            t := block * 64 + i * 4;
            w[i] := (get_byte(message, t::integer)::bigint << 24)
                | (get_byte(message, t::integer + 1) << 16)
                | (get_byte(message, t::integer + 2) << 8)
                | get_byte(message, t::integer + 3);
        END LOOP;
        FOR i IN 16..79 LOOP
            t := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
            w[i] := ((t << 1) | (t >> 31)) & mask;
        END LOOP;
        a := h[1]; b := h[2]; c := h[3]; d := h[4]; e := h[5];
        FOR i IN 0..79 LOOP
            CASE i / 20
                WHEN 0 THEN f := (b & c) | ((~b) & mask & d); k := 1518500249;
                WHEN 1 THEN f := b # c # d; k := 1859775393;
                WHEN 2 THEN f := (b & c) | (b & d) | (c & d); k := 2400959708;
                ELSE f := b # c # d; k := 3395469782;
            END CASE;
            t := ((((a << 5) | (a >> 27)) & mask) + f + e + k + w[i]) & mask;
            e := d; d := c; c := ((b << 30) | (b >> 2)) & mask; b := a; a := t;
        END LOOP;
        h := ARRAY[
            (h[1] + a) & mask, (h[2] + b) & mask, (h[3] + c) & mask, (h[4] + d) & mask,
            (h[5] + e) & mask
        ];
    END LOOP;
    FOR i IN 1..4 LOOP
        digest := digest || substring(int8send(h[i]) FROM 5);
    END LOOP;
    digest := set_byte(digest, 6, (get_byte(digest, 6) & 15) | 80);
    digest := set_byte(digest, 8, (get_byte(digest, 8) & 63) | 128);
    RETURN encode(digest, 'hex')::uuid;
END
$$;

-- The length before each part keeps ('a:b', 'c') and ('a', 'b:c') apart.
CREATE FUNCTION execution_id_of(p_kind text, VARIADIC p_parts text[]) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN execution_uuid5(
    '6f0d2f5e-6a0c-5d64-9b0e-3c1f6f7f5a11'::uuid,
    p_kind || '|' || (
        SELECT string_agg(char_length(part) || ':' || part, '' ORDER BY place)
        FROM unnest(p_parts) WITH ORDINALITY AS parts (part, place)
    )
);

-- The id of an event of an execution.
CREATE FUNCTION execution_event_id(
    p_org_id uuid, p_first_run_id text, p_kind text, p_path text DEFAULT '',
    p_iteration integer DEFAULT 0, p_attempt integer DEFAULT 0
) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN execution_id_of(
    'event', p_org_id::text, p_first_run_id, p_path, p_iteration::text, p_attempt::text, p_kind
);
