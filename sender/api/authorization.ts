/** How requests prove who sends them. */
export interface Authorization {
  /**
   * The value of the header `Authorization` for the next request.
   *
   * @throws as `callApi`, when it has to be fetched and cannot be
   */
  header(): Promise<string>;
  /** Told that the API answered a header with 401. @returns whether the next one may be another */
  refused(header: string): boolean;
}

/** RFC 7617: the same for every request. */
export function basicAuthorization(user: string, password: string): Authorization {
  const value = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return { header: async () => value, refused: () => false };
}
