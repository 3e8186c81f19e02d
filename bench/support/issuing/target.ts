/** Where an authorization server under measurement is, and who may ask it what. */
export interface Target {
  readonly port: number;
  readonly client: Registered;
  /** The server of the resources, which introspects. */
  readonly server: Registered;
  readonly paths: { readonly token: string; readonly introspect: string; readonly keySet: string };
}

export interface Registered {
  readonly id: string;
  readonly secret: string;
}

export const jwtResource = 'https://jwt.example/';
export const opaqueResource = 'https://opaque.example/';
export const redirectUri = 'https://app.example/callback';
