export const Profiles = { template: '<p>to come</p>' }
