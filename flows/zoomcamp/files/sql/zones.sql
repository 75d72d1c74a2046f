CREATE TABLE IF NOT EXISTS trips.zones (
  location_id integer PRIMARY KEY, borough text, zone text, service_zone text
);
