/**
 * Every response bears a request id: the caller's where it is a sane token, else one made here.
 *
 * @module
 */
const SANE = /^[A-Za-z0-9._-]{1,64}$/;

export function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id");
  return given !== null && SANE.test(given) ? given : crypto.randomUUID();
}
