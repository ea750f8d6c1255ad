/** Random schedules for the comparison of two readings of cron. */
import type { Random } from "../sim/random.ts";

const ZONES = [
  ...["UTC", "Europe/Berlin", "Europe/London", "Europe/Lisbon", "Atlantic/Azores", "Europe/Dublin", "Europe/Moscow"],
  ...["America/New_York", "America/Los_Angeles", "America/St_Johns", "America/Sao_Paulo", "America/Havana"],
  ...["America/Santiago", "America/Asuncion", "America/Nuuk", "America/Mexico_City", "America/Phoenix"],
  ...["Africa/Casablanca", "Africa/Cairo", "Africa/Juba", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran"],
  ...["Asia/Beirut", "Asia/Gaza", "Asia/Amman", "Asia/Almaty", "Asia/Tokyo", "Antarctica/Troll", "Antarctica/Casey"],
  ...["Australia/Sydney", "Australia/Lord_Howe", "Australia/Adelaide", "Pacific/Auckland", "Pacific/Chatham"],
  ...["Pacific/Apia", "Pacific/Kiritimati", "Pacific/Norfolk", "Pacific/Easter"],
];

export interface Sample {
  expression: string;
  zone: string;
  after: number;
}

/** One in two begins near a change of the zone's clock, where readings may differ. */
export function sampleOf(random: Random, changesOf: (zone: string) => number[]): Sample {
  const zone = random.pick(ZONES);
  const changes = changesOf(zone);
  const near = changes.length > 0 && random.chance(0.5);
  const from = Date.UTC(2020, 0, 1);
  const after = near
    ? random.pick(changes) + random.int(-26 * 3_600, 26 * 3_600) * 1_000
    : from + random.int(0, 15 * 365 * 86_400) * 1_000;
  return { expression: expressionOf(random), zone, after };
}

function expressionOf(random: Random): string {
  const field = (min: number, max: number): string => {
    const value = (): number => random.int(min, max);
    const range = (): string => {
      const [a, b] = [value(), value()].sort((x, y) => x - y);
      return `${a}-${b}`;
    };
    const kind = random.weighted({ any: 5, one: 5, step: 2, list: 2, range: 1, stepped: 1 });
    if (kind === "any") return "*";
    if (kind === "one") return String(value());
    if (kind === "step") return `*/${random.int(2, Math.max(2, Math.floor((max - min) / 2)))}`;
    if (kind === "list") return [...new Set([value(), value(), value()])].sort((a, b) => a - b).join(",");
    if (kind === "range") return range();
    return `${range()}/${random.int(1, 5)}`;
  };
  const any = (odds: number, min: number, max: number): string => (random.chance(odds) ? "*" : field(min, max));
  // Early hours, where most clocks change, come often.
  const hour = random.chance(0.5) ? field(0, 3) : field(0, 23);
  const parts = [field(0, 59), hour, any(0.7, 1, 28), any(0.8, 1, 12), any(0.7, 0, 6)];
  return (random.chance(0.15) ? [field(0, 59), ...parts] : parts).join(" ");
}
