/** The authorization of API requests. */
export interface Authorization {
  /**
   * Returns the value of the header `Authorization` for the next request.
   *
   * @throws as `callApi`, when a token must be fetched and cannot be
   */
  header(): Promise<string>;
  /** Records that the API answered a header with 401. @returns whether the next one may differ */
  refused(header: string): boolean;
}

/** Makes Basic authentication (RFC 7617): the same header for every request. */
export function basicAuthorization(user: string, password: string): Authorization {
  const value = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return { header: async () => value, refused: () => false };
}
