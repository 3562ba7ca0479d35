-- What the guide's queries name: trades, days of profit and loss, and the audit.
create role trader superuser login password :'password'; -- as POSTGRES_USER of the official image is
create database trading owner trader;
\connect trading trader
create table migrations (id serial primary key, name text unique not null, applied_at timestamptz not null default now());
create table audit_events (
  id bigserial primary key, ts timestamptz not null, type text not null, severity text not null, payload jsonb not null default '{}', trace_id text);
create table pnl_days (
  date date primary key, start_equity numeric not null, realized numeric not null, percent numeric not null, daily_target_pct numeric not null,
  halted boolean not null default false, updated_at timestamptz not null default now());
create table trades (
  id bigserial primary key, symbol text not null, side text not null, quantity numeric not null, status text not null, profit_usd numeric,
  execution_time_ms integer, created_at timestamptz not null default now());
insert into migrations (name) values ('001_init.sql'), ('002_trades.sql');
-- Trades of the last two weeks, and of the day to come, since nobody trades while a test runs: what is after now() does not count yet.
insert into trades (symbol, side, quantity, status, profit_usd, execution_time_ms, created_at)
  select 'BTC-USD', case i % 2 when 0 then 'buy' else 'sell' end, 0.01 * i, case i % 50 when 7 then 'rejected' else 'filled' end,
         case i % 50 when 7 then null else round((i % 13 - 5)::numeric / 10, 2) end, 40 + i % 200, now() + interval '1 day' - i * interval '5 minutes'
  from generate_series(0, 4300) i;
insert into pnl_days (date, start_equity, realized, percent, daily_target_pct)
  select (now() at time zone 'utc')::date - i, 1000, 2.5, 0.25, 1 from generate_series(0, 29) i;
insert into audit_events (ts, type, severity, payload)
  select now() - i * interval '1 hour', 'trade', 'info', jsonb_build_object('n', i) from generate_series(0, 499) i;
analyze;
