export const Broker = { template: '<p>to come</p>' }
